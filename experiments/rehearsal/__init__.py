"""The dress rehearsal: the commands of README and guides, typed as they stand, on IEMOCAP and MELD at full size.

What cannot be had is made up (`stage`, `published`); what is typed is a list (`commands`); `page` tells what happened.
"""
