"""Structure in weights (survey section 5), one file each; a number format follows them."""
