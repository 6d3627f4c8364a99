"""A pool that reconfigures as a whole when its instances come and go (SpotServe)."""
