"""What the campaign of faults needs: tools that misbehave, small disks, and a look at what a run leaves behind."""
