"""Lightning callbacks: a thin layer over `mlip_design`."""
