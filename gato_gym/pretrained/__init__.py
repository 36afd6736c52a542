"""The bundled weights with all that acting needs, their card and their scorecard."""
