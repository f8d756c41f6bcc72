# For other modules of the core alone: what is here is reached by cimport.
