"""From a YAML file to a frozen, validated Config; what differs between library releases; the errors a user can put right."""
