package process

const deathSignals = true
