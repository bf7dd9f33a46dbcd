"""Projects of users: `trtproof init` makes one, `trtproof upgrade` compares it with ours."""
