"""The detector of vibration: shaking that is stronger, smoother or quicker than a machine's own."""
