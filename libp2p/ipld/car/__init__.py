"""
CAR files: blocks with their CIDs, one after the other, behind the CIDs of the roots.

https://ipld.io/specs/transport/car/. `reader` parses versions 1 and 2 from any pieces of bytes,
`writer` writes both, `index` finds blocks in a file by their multihashes.
"""
