"""The bus: what sessions say, retained for a while, for watchers of any process."""
