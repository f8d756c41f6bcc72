"""Memory that the processes of a server share: named segments, and records that outlive a killed writer."""
