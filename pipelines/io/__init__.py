"""Files and tables, local or wherever Beam's filesystems reach."""
