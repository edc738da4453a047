"""
The names of other IPFS peers for Python, on this one.

A package called ``py_ipfs_lite`` of ours would overwrite files of theirs: both can be installed.
"""
