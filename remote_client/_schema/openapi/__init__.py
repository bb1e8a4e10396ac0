"""Types and codecs of HTTP servers, from their OpenAPI documents."""
