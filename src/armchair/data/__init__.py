"""Where pictures with words come from (Emoji World, folders, tars), and what is done to them."""
