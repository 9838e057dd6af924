"""Songs that are the same piece: signatures, candidates, clusters."""
