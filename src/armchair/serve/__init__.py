"""The HTTP server: OpenAI's Images API over local bundles, and our own routes for what it lacks.

`app` faces the network and never computes; `worker` is a process that owns the models and never reads what a
caller sent but as JSON and pixels; `codec` is a limited process that decodes and encodes pictures. They talk
over pipes (`protocol`).
"""
