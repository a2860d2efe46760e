"""Files of ours: confined folders, whole writes, blobs and workspaces."""
