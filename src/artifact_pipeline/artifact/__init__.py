"""An artifact: a folder of files and the manifest that vouches for each of them."""
