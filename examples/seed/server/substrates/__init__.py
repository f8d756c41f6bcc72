"""The substrates: connections and requests as points of an index."""
