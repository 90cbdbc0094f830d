"""`penstock logs`: what the replicas and the build of a deployment have written."""
