"""The side that faces clients: routes, authorisation, forwarding, health pages, errors in the caller's dialect."""
