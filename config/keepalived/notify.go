package keepalived

import "dirsw/config"

// notifyKeyword reads who is told of changes.
func (p *parser) notifyKeyword(b *block, s *statement, n *config.Notify, mail *bool) bool {
	switch s.name() {
	case "notify_master":
		p.setCommand(b, s, &n.Master)
	case "notify_backup":
		p.setCommand(b, s, &n.Backup)
	case "notify_fault":
		p.setCommand(b, s, &n.Fault)
	case "notify_stop":
		p.setCommand(b, s, &n.Stop)
	case "notify":
		p.setCommand(b, s, &n.Any)
	case "notify_master_rx_lower_pri":
		p.setCommand(b, s, &n.LowerPriority)
	case "notify_deleted":
		n.TellDeleted = true
		if len(s.args()) > 0 {
			p.setCommand(b, s, &n.Deleted)
		}
	case "notify_priority_changes":
		p.setBool(b, s, &n.PriorityChanges)
	case "smtp_alert":
		p.setBool(b, s, mail)
	default:
		return false
	}
	return true
}
