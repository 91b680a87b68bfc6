"""What people look at in a browser: pages over the same actions as the API, which has all that they show and do."""
