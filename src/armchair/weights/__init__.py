"""Which class loads which bundle; import and export of other people's weights."""
