"""What the commands of `stripe-assets` do. Which options they take belongs in `cli`, how a mirror is made in `sync`."""
