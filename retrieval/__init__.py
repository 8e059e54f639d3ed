"""From millions of videos to a few hundred: two towers, an index, and simple sources beside them."""
