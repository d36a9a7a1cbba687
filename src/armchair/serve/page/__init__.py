"""The page at /ui: everything that the server can do, for people. Gradio draws it, from its own files alone.

`door` stands before it: who may come in, in which language, and which of Gradio's addresses are open.
`layout` is what is seen, `clicks` what a click does, `desk` the orders that come of it: into the same queue
as everybody's.
"""
