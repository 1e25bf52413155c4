"""How fast a platform really is: test calls, and the times to configure for them."""
