-- arg: worker. Gives how long it still rests in ms, and whether it is quarantined.
return {standing(arg[1])}
