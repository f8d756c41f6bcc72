"""The index of points: cells, states, pools and the geometry of coordinates."""
