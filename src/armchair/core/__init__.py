"""What everything else stands on: configs, errors, durable files, pictures and bundles. Imports nothing of
ours.
"""
