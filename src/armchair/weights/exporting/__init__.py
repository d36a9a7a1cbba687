"""Bundles as the folders of other libraries."""
