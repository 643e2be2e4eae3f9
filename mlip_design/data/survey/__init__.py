"""What `mlip-design data info` tells of a data set: its contents, outliers, duplicates, labels that look wrong."""
