"""Property tests of the HTTP API: whatever the OpenAPI document allows, and what it does not, as every caller."""
