"""`affectstream doctor`: what a deployment lacks, and how to mend it."""
