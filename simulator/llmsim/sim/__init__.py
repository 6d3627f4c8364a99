"""The simulation rim: the only room that imports simpy. Replicas, routers and arrivals on one clock."""
