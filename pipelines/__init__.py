"""Dataset builds: raw corpora in, a labelled Parquet release out."""
