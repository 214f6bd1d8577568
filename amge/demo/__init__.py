"""A page in the browser that takes a clip and shows what is at work in it; needs the extra `demo`.

>>> from amge.demo.page import serve
>>> serve("transm3e-lite")
"""
