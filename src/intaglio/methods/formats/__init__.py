"""Number formats of weights and activations (survey section 4), one file each."""
