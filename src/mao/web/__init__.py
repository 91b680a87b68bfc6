"""The node over HTTP: the API, a route per action; the founding endpoints; what operators watch."""
