"""What an operator's Prometheus and Grafana are given, made from code: `python -m tools.observability`."""
