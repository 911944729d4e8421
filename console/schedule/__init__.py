"""What makes the daily record elsewhere: a line for cron, systemd units, a Kubernetes CronJob."""
