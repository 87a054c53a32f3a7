"""Reports: pictures of a finished run, from pooled figures alone."""
