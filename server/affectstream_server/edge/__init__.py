"""The edge: the only place that imports grpc."""
