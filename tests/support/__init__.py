"""What several tests share: random networks, and one check of the whole back end."""
