"""Other people's weights as bundles: sources, key tables, and the only place that reads pickles."""
