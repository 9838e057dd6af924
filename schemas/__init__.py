"""The ground floor: the record, its vocabulary and its tables; stdlib, numpy and pyarrow
only."""
