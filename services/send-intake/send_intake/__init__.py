"""The write side: campaigns, lists, presses of SEND, END, and the clock everybody goes by."""
